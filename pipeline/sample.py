"""The bundled sample: synthetic click sessions of a made-up shop, with structure that takes a sequence model to see.

    python -m nextclick.pipeline.sample        writes pipeline/data/sample_clicks.csv.gz again

The shop has categories of items in a fixed order, as a listing shows them, wrapped around to a ring. A session

- enters a category by a popular item, then steps through the listing either forwards or backwards. The first step
  tells which, and it never changes: an item alone does not tell, nor does the set of items seen.
- makes detours to the week's campaign items, reloads a page or puts the item into the cart, looks at an earlier item
  again; then it steps on from where it was in the listing, so that the last click is not enough to go by.
- jumps, now and then, to the category that goes with this one: another one for forward than for backward shoppers.

Items are popular by Zipf's law, categories rise and fall over the four weeks, some items appear late, a few bots click
at random, a few rows are damaged in each way that a reader must reject.
"""

from __future__ import annotations

import bisect
import dataclasses
import gzip
import itertools
import random
import sys
from collections.abc import Sequence
from pathlib import Path

PATH = Path(__file__).parent / "data" / "sample_clicks.csv.gz"
HEADER = "session_id,item_id,timestamp,event_type"
START = 1_709_510_400  # seconds: Monday, 4 March 2024, 00:00 UTC
HOUR = 3600
DAY = 24 * HOUR
CATEGORIES = ("lamp", "chair", "desk", "sofa", "rug", "shelf", "mirror", "clock", "vase", "décor", "mug", "kettle")
VISITS_BY_HOUR = (2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 9, 9, 8, 8, 9, 10, 11, 12, 12, 10, 7, 4)


@dataclasses.dataclass(frozen=True)
class Shop:
    """What the generator can be told; the defaults are the bundled sample's."""

    seed: int = 20240304
    days: int = 28
    sessions: int = 8000
    items_per_category: int = 40
    reach: int = 10  # items; how far one step goes in the listing at most
    detour: float = 0.20  # shares of the clicks from the third on; those that are left are steps
    reload: float = 0.06
    revisit: float = 0.04
    jump: float = 0.08  # from the fourth click on
    stop: float = 0.20  # share of the sessions that end at each click, from the third on
    late_items: float = 0.06  # share of the items that appear in the last third only
    campaign_items: int = 8  # a week
    forward_jump: int = 1  # categories further on
    backward_jump: int = 5
    bots: int = 3
    damaged_rows_a_kind: int = 4


@dataclasses.dataclass(frozen=True)
class Click:
    """One row of the log; `timestamp` in seconds since the epoch."""

    session: str
    item: str
    timestamp: int
    event_type: str = "click"

    def row(self) -> str:
        """The click as a line of the log."""
        return f"{self.session},{self.item},{self.timestamp},{self.event_type}"


class Catalogue:
    """The shop's items, 0 … n-1 in the order of the listing: what they are called and how popular they are when."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self.size = shop.items_per_category
        self.days = shop.days
        self.items = len(CATEGORIES) * self.size
        ranks = [rank for _ in CATEGORIES for rank in shuffled(range(self.size), rng)]
        self._popularity = [1 / (rank + 5) for rank in ranks]  # + 5: Zipf's law with a flattened head
        late = range(2 * shop.days // 3, shop.days)
        self._first_day = [pick(late, rng) if rng.random() < shop.late_items else 0 for _ in ranks]
        self._trend = [0.3 + 1.4 * rng.random() for _ in CATEGORIES]  # popularity at the end relative to the start
        weeks = range(shop.days // 7 + 1)
        self._campaigns = [shuffled(range(self.items), rng)[: shop.campaign_items] for _ in weeks]

    def name(self, item: int) -> str:
        """The id of an item: "lamp-01" is the first one."""
        category, position = divmod(item, self.size)
        return f"{CATEGORIES[category]}-{position + 1:02d}"

    def campaign(self, day: int) -> list[int]:
        """The items that are advertised in that day's week."""
        return self._campaigns[day // 7]

    def category(self, day: int, rng: random.Random) -> int:
        """A category that a session of that day starts in."""
        trends = [1 + (trend - 1) * day / self.days for trend in self._trend]
        return pick(range(len(CATEGORIES)), rng, [trend / (rank + 4) for rank, trend in enumerate(trends)])

    def entry(self, category: int, day: int, rng: random.Random) -> int:
        """An item by which a shopper enters the category."""
        items = range(category * self.size, (category + 1) * self.size)
        return pick(items, rng, [self._weight(item, day) for item in items])

    def step(self, item: int, offsets: Sequence[int], day: int, rng: random.Random) -> int:
        """An item of the same category, that many places on in the listing; near and popular ones are likelier."""
        first = item - item % self.size
        items = [first + (item - first + offset) % self.size for offset in offsets]
        weights = [self._weight(at, day) / (abs(offset) + 12) for at, offset in zip(items, offsets, strict=True)]
        return pick(items, rng, weights)

    def _weight(self, item: int, day: int) -> float:
        return self._popularity[item] if self._first_day[item] <= day else 0.0


class Shopper:
    """Walks through the shop: `here` is the place in the listing, `seen` the items of the session so far."""

    def __init__(self, shop: Shop, catalogue: Catalogue, day: int, rng: random.Random) -> None:
        self.shop, self.catalogue, self.day, self.rng = shop, catalogue, day, rng
        self.direction = 1 if rng.random() < 0.5 else -1
        self.here = catalogue.entry(catalogue.category(day, rng), day, rng)
        self.seen = [self.here]

    def next_item(self) -> int:
        """Decides what is clicked next."""
        shop, chance = self.shop, self.rng.random()
        if len(self.seen) < 2:
            return self._step()
        if (chance := chance - shop.detour) < 0:
            return pick(self.catalogue.campaign(self.day), self.rng)
        if (chance := chance - shop.reload) < 0:
            return self.seen[-1]
        if (chance := chance - shop.revisit) < 0:
            return pick(self.seen, self.rng)
        if chance - shop.jump < 0 and len(self.seen) > 2:
            return self._jump()
        return self._step()

    def _step(self) -> int:
        offsets = [self.direction * distance for distance in range(1, self.shop.reach + 1)]
        self.here = self.catalogue.step(self.here, offsets, self.day, self.rng)
        return self.here

    def _jump(self) -> int:
        on = self.shop.forward_jump if self.direction > 0 else self.shop.backward_jump
        category = (self.here // self.catalogue.size + on) % len(CATEGORIES)
        self.here = self.catalogue.entry(category, self.day, self.rng)
        return self.here


def shuffled(values: Sequence[int], rng: random.Random) -> list[int]:
    """The values in random order. Of all methods, `random()` alone is promised to stay as it is in every Python."""
    return [value for _, value in sorted((rng.random(), value) for value in values)]


def pick(values: Sequence[int], rng: random.Random, weights: Sequence[float] | None = None) -> int:
    """One of the values, by weight."""
    sums = list(itertools.accumulate(weights or [1.0] * len(values)))
    return values[bisect.bisect(sums, rng.random() * sums[-1], hi=len(sums) - 1)]


def session_clicks(number: int, shop: Shop, catalogue: Catalogue, rng: random.Random) -> list[Click]:
    """One visit of at least three clicks; visits grow more frequent towards the end."""
    day = pick(range(shop.days), rng, [1 + day / shop.days for day in range(shop.days)])
    time = START + day * DAY + pick(range(24), rng, VISITS_BY_HOUR) * HOUR + int(HOUR * rng.random())
    shopper = Shopper(shop, catalogue, day, rng)
    clicks = [Click(f"s{number:05d}", catalogue.name(shopper.here), time)]
    while len(clicks) < 3 or rng.random() >= shop.stop:
        item = shopper.next_item()
        time += 5 + int(120 * rng.random() * rng.random())
        event_type = "cart" if item == shopper.seen[-1] and rng.random() < 0.7 else "click"
        shopper.seen.append(item)
        clicks.append(Click(clicks[0].session, catalogue.name(item), time, event_type))
    return clicks


def bot_clicks(number: int, shop: Shop, catalogue: Catalogue, rng: random.Random) -> list[Click]:
    """A robot: hundreds of clicks on any item, one a second; before the last two days, which tests look at."""
    time = START + int((shop.days - 2) * DAY * rng.random()) - HOUR
    count = 300 + int(200 * rng.random())
    items = [int(catalogue.items * rng.random()) for _ in range(count)]
    return [Click(f"b{number:05d}", catalogue.name(item), time + second) for second, item in enumerate(items)]


def damaged(click: Click) -> list[str]:
    """The click's row, damaged in each way that the plain reader tells apart."""
    row = click.row()
    return [
        dataclasses.replace(click, session="").row(),
        dataclasses.replace(click, item="").row(),
        dataclasses.replace(click, item=257 * "x").row(),
        row.replace(str(click.timestamp), "yesterday"),
        row.replace(str(click.timestamp), "-1"),
        row.rpartition(",")[0],
        row.replace(",", ',"', 1),
        row.replace("-", "\r", 1),
        row.replace("-", "\0", 1),
        row.replace("-", "\udcff", 1),  # not UTF-8, once written
    ]


def rows(shop: Shop) -> list[str]:
    """The log's lines after the header, by time; equal shops have equal lines."""
    rng = random.Random(shop.seed)
    catalogue = Catalogue(shop, rng)
    visits = [session_clicks(number, shop, catalogue, rng) for number in range(shop.sessions)]
    bots = [bot_clicks(number, shop, catalogue, rng) for number in range(shop.bots)]
    clicks = sorted(itertools.chain(*visits, *bots), key=lambda click: click.timestamp)
    lines = [click.row() for click in clicks]
    for _ in range(shop.damaged_rows_a_kind):
        for line in damaged(pick_click(clicks, rng)):
            lines.insert(int(len(lines) * rng.random()), line)
    return lines


def pick_click(clicks: Sequence[Click], rng: random.Random) -> Click:
    """Any click."""
    return clicks[int(len(clicks) * rng.random())]


def write(path: Path, shop: Shop) -> None:
    """Writes the log, gzipped; no time stamp and no file name in it, so that equal logs are equal bytes."""
    text = "\n".join([HEADER, *rows(shop), ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
        packed.write(text.encode(errors="surrogateescape"))


def main() -> int:
    """Writes the bundled sample."""
    write(PATH, Shop())
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
