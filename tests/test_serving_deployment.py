"""Without this, a manifest could ship that Kubernetes refuses, or one that runs TensorFlow Serving as no one should."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from nextclick.serving import external, metrics, settings_files

SERVING = Path(__file__).resolve().parent.parent / "serving"
BASE = SERVING / "kubernetes" / "base"
OVERLAYS = ("cpu", "gpu")
VERSIONS = ("1.30", "1.34", "1.37")
# Kinds of the Prometheus operator, of which the validator has no schema.
FOREIGN_KINDS = {"ServiceMonitor", "PrometheusRule"}
# Read in TensorFlow Serving's main.cc.
FLAGS = {
    "port", "rest_api_port", "model_config_file", "file_system_poll_wait_seconds", "monitoring_config_file",
    "enable_batching", "batching_parameters_file", "ssl_config_file", "num_load_threads", "num_unload_threads",
    "allow_version_labels_for_unavailable_models", "grpc_channel_arguments", "per_process_gpu_memory_fraction",
}  # fmt: skip


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request):
    """An overlay as `kubectl apply -k` would send it: (its name, manifests by kind)."""
    if shutil.which("kubectl") is None:
        pytest.skip(f"kubectl is not here: the overlay {request.param} is not built")
    folder = SERVING / "kubernetes" / "overlays" / request.param
    built = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True, timeout=120)
    found = {}
    for manifest in yaml.safe_load_all(built.stdout):
        found.setdefault(manifest["kind"], []).append(manifest)
    return request.param, found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(manifests, version):
    checked = set()
    for kind, entries in manifests[1].items():
        for manifest in entries if kind not in FOREIGN_KINDS else ():
            kubernetes_validate.validate(manifest, version, strict=True)
            checked.add(kind)
    assert checked == {
        "Namespace", "ServiceAccount", "ConfigMap", "Deployment", "Service", "PodDisruptionBudget",
        "HorizontalPodAutoscaler", "NetworkPolicy",
    }  # fmt: skip
    assert manifests[1].keys() - checked == FOREIGN_KINDS


def pod_of(manifests):
    (deployment,) = manifests[1]["Deployment"]
    return deployment["spec"]["template"]["spec"]


def test_selectors_find_the_pods_and_nothing_is_left_empty(manifests):
    (deployment,) = manifests[1]["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        manifests[1]["Service"][0]["spec"]["selector"],
        manifests[1]["PodDisruptionBudget"][0]["spec"]["selector"]["matchLabels"],
        manifests[1]["NetworkPolicy"][0]["spec"]["podSelector"]["matchLabels"],
        manifests[1]["ServiceMonitor"][0]["spec"]["selector"]["matchLabels"],
        deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()
    assert selectors[4].items() <= manifests[1]["Service"][0]["metadata"]["labels"].items()


def test_the_pod_is_locked_down(manifests):
    pod = pod_of(manifests)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["mountPath"] != "/tmp")


def test_ready_means_that_the_model_answers_and_not_that_a_port_is_open(manifests):
    (container,) = pod_of(manifests)["containers"]
    for probe in ("readinessProbe", "startupProbe"):
        script = container[probe]["exec"]["command"][-1]
        assert "/v1/models/nextclick" in script
        assert "grep -q AVAILABLE" in script


def test_readiness_script_tells_an_available_model_from_a_broken_one(manifests, tmp_path):
    """The script itself, against the local server's REST port and against a port where nothing is."""
    import tiny_models

    from nextclick.serving import server

    script = pod_of(manifests)["containers"][0]["readinessProbe"]["exec"]["command"][-1]
    (tmp_path / "nextclick").mkdir()
    tiny_models.save(tmp_path / "nextclick" / "1")
    with server.running("--model", str(tmp_path / "nextclick"), "--server", "local") as facts:
        here = script.replace("127.0.0.1/8501", facts["rest"].replace(":", "/"))
        assert subprocess.run(["bash", "-c", here], check=False, timeout=30).returncode == 0
        other = here.replace("/v1/models/nextclick", "/v1/models/nobody")
        assert subprocess.run(["bash", "-c", other], check=False, timeout=30).returncode != 0
    assert subprocess.run(["bash", "-c", here], check=False, timeout=30, capture_output=True).returncode != 0


def test_the_pod_drains_before_it_ends(manifests):
    pod = pod_of(manifests)
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + 10
    assert pod["shareProcessNamespace"], "as PID 1, TensorFlow Serving ignores SIGTERM"


def flags_of(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def check_flags(flags):
    assert flags.keys() <= FLAGS
    assert flags["rest_api_port"] == "8501", "Prometheus metrics need it"
    assert (int(flags["num_load_threads"]), int(flags["num_unload_threads"])) >= (1, 1)
    assert flags["enable_batching"] == "true"


def test_flags_are_ones_that_tensorflow_serving_has(manifests):
    flags = flags_of(pod_of(manifests)["containers"][0]["args"])
    check_flags(flags)
    assert "model_config_file_poll_wait_seconds" not in flags, "it would undo a promotion"
    assert flags["ssl_config_file"] == "/tls/ssl.config"
    assert "grpc.max_connection_age_ms" in flags["grpc_channel_arguments"]


def test_settings_files_are_the_shipped_ones(manifests):
    overlay, found = manifests
    texts = {name: text for entry in found["ConfigMap"] for name, text in entry["data"].items()}
    suffix = "_gpu" if overlay == "gpu" else ""
    assert texts["batching_parameters.txt"] == (SERVING / "config" / f"batching_parameters{suffix}.txt").read_text()
    for name in ("models.config", "monitoring.config"):
        assert texts[name] == (SERVING / "config" / name).read_text()


def test_threads_follow_the_cpu_limit(manifests):
    overlay, _ = manifests
    (container,) = pod_of(manifests)["containers"]
    limits = container["resources"]["limits"]
    assert limits == container["resources"]["requests"] | ({"nvidia.com/gpu": "1"} if overlay == "gpu" else {})
    if overlay == "cpu":
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment["TF_NUM_INTRAOP_THREADS"] == environment["OMP_NUM_THREADS"] == limits["cpu"]


def test_gpu_pods_go_to_gpu_nodes(manifests):
    overlay, _ = manifests
    pod = pod_of(manifests)
    assert ("nodeSelector" in pod) == ("tolerations" in pod) == (overlay == "gpu")
    assert pod["containers"][0]["image"].endswith("-gpu") == (overlay == "gpu")


def test_image_is_pinned_to_the_minor_version_of_the_serving_api(manifests):
    image = pod_of(manifests)["containers"][0]["image"]
    assert image.removesuffix("-gpu") == external.IMAGE
    pins = re.findall(
        r"tensorflow-serving-api==(\d+\.\d+)", (SERVING.parent / "requirements" / "tfx-1.16.in").read_text()
    )
    assert pins == [external.IMAGE.partition(":")[2].rpartition(".")[0]]


def test_network_policy_keeps_the_plain_rest_port_for_prometheus(manifests):
    (policy,) = manifests[1]["NetworkPolicy"]
    ports = {port["port"]: rule["from"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert ports["http"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert ports["grpc"][0]["podSelector"] == {"matchLabels": {"nextclick.io/client": "true"}}


def metric_names(text):
    return set(re.findall(r":tensorflow:[a-z_:]+", text))


def test_rules_and_dashboard_use_metrics_that_the_server_writes():
    counted = metrics.Metrics()
    written = metric_names(counted.text())
    for name in ("alerts.yaml", "dashboard.json"):
        used = metric_names((BASE / name).read_text())
        assert used
        assert {re.sub(r"_(bucket|sum|count)$", "", use) if use not in written else use for use in used} <= written


def test_autoscaler_uses_a_recorded_metric(manifests):
    (rule,) = manifests[1]["PrometheusRule"]
    recorded = {entry.get("record") for group in rule["spec"]["groups"] for entry in group["rules"]}
    (scaler,) = manifests[1]["HorizontalPodAutoscaler"]
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] in recorded


def test_dashboard_is_json_with_a_query_in_every_panel():
    dashboard = json.loads((BASE / "dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["targets"][0]["expr"] for panel in dashboard["panels"])


def test_monitoring_path_is_the_one_that_is_scraped(manifests):
    (monitor,) = manifests[1]["ServiceMonitor"]
    path = settings_files.read_monitoring_path(SERVING / "config" / "monitoring.config")
    assert monitor["spec"]["endpoints"][0]["path"] == path


def test_compose_file():
    compose = yaml.safe_load((SERVING / "docker-compose.yml").read_text(encoding="utf-8"))
    service = compose["services"]["serving"]
    flags = flags_of(service["command"])
    check_flags(flags)
    assert service["image"] == external.IMAGE
    assert service["init"]
    assert service["read_only"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    mounts = dict(volume.rsplit(":", 2)[:2][::-1] for volume in service["volumes"])
    assert mounts == {"/models": "${NEXTCLICK_ROOT:-../nextclick-root}/serving", "/config": "./config"}
    for name in ("model_config_file", "monitoring_config_file", "batching_parameters_file"):
        assert (SERVING / "config" / Path(flags[name]).name).is_file()
