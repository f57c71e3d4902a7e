"""What a caller wants of a prediction: how many items, and of which ones; and which signature can give that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from nextclick.components import contract
from nextclick.pipeline.errors import DataError, ServingError
from nextclick.serving import messages
from nextclick.serving.messages import DEFAULT_TOP_K, ModelFacts


@dataclasses.dataclass(frozen=True)
class Wanted:
    """k items, none of them in `exclude`, all of them in `allow`; or `candidates` in order. None: not restricted.

    Raises DataError where a list is empty, too long, or holds what is no item id.
    """

    k: int | None = None
    exclude: Sequence[str] = ()
    allow: Sequence[str] | None = None
    candidates: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """See the class."""
        if not 1 <= self.most <= contract.MAX_TOP_K:
            raise DataError(f"k must lie between 1 and {contract.MAX_TOP_K}, received {self.k}")
        _check("exclude", self.exclude, contract.MAX_LIST_ITEMS)
        for name, items, most in (
            ("allow", self.allow, contract.MAX_LIST_ITEMS),
            ("candidates", self.candidates, contract.MAX_CANDIDATES),
        ):
            if items is not None and not items:
                raise DataError(f"{name} is an empty list, which leaves nothing to answer: leave it out, or name items")
            _check(name, items or (), most)

    @property
    def most(self) -> int:
        """Items to answer at most."""
        return self.k if self.k is not None else len(self.candidates or ()) or DEFAULT_TOP_K

    @property
    def is_restricted(self) -> bool:
        """Whether not every item may be answered."""
        return bool(self.exclude or self.allow or self.candidates)

    def signature(self, model: ModelFacts) -> str:
        """The signature to ask.

        `serving_default` wherever its list is long enough: requests of one signature share a batch. An older model
        without `recommend` is asked for it in any case, and may then answer fewer than k.

        Raises ServingError where the model has no signature that could answer.
        """
        wanted = contract.SIGNATURE_SERVING
        if self.candidates:
            wanted = contract.SIGNATURE_RANK
        elif self.allow or self.most + len(self.exclude) > (model.top_k or 0):
            wanted = contract.SIGNATURE_RECOMMEND if self.is_restricted else wanted
        if wanted == contract.SIGNATURE_SERVING or wanted in model.signatures:
            return wanted
        if self.candidates or self.allow:
            kind = "candidates" if self.candidates else "an allow list"
            raise ServingError(
                f"version {model.version} of the model has no signature {wanted} (an older nextclick made it), "
                f"which {kind} would need: push a new model"
            )
        return contract.SIGNATURE_SERVING

    def lists(self, signature: str) -> Mapping[str, list[str]]:
        """The item lists that a signature takes besides the sessions, by the names of its inputs."""
        if signature == contract.SIGNATURE_RECOMMEND:
            return {contract.INPUT_EXCLUDE: list(self.exclude), contract.INPUT_ALLOW: list(self.allow or ())}
        if signature == contract.SIGNATURE_RANK:
            return {contract.INPUT_CANDIDATES: self._left()}
        return {}

    def _left(self) -> list[str]:
        """The candidates that are allowed and not excluded."""
        out, allowed = set(self.exclude), set(self.candidates or ()) if self.allow is None else set(self.allow)
        return [item for item in self.candidates or () if item in allowed and item not in out]


def _check(name: str, items: Sequence[str], most: int) -> None:
    if isinstance(items, (str, bytes)):
        raise DataError(f"{name} is one text, not a list of item ids: write [{items!r}]")
    if len(items) > most:
        raise DataError(f"{name} has {len(items)} items, at most {most} are allowed")
    for item in items:
        messages.check_item(item, name)
