"""config/systemd, config/docker and config/kubernetes: valid by their own tools and schemas, and
consistent with each other, the Dockerfile and the settings."""

import json
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from proxy import __version__
from proxy.admin.native import OPERATIONS
from proxy.metrics import specs
from proxy.settings import Settings, TcpAddress, load
from tests.docs.pages import ROOT, blocks

CONFIG = ROOT / "config"
SYSTEMD, DOCKER, KUBERNETES = CONFIG / "systemd", CONFIG / "docker", CONFIG / "kubernetes"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PLACE = "/etc/warmfront/warmfront.yaml"
TOKEN = "0123456789abcdef"  # noqa: S105
MOST_EXPOSED = 20
"""Tenths of a point; `systemd-analyze security` gives 100 to a unit without a sandbox."""

MIB = 1 << 20
SIZES = {"m": MIB, "Mi": MIB, "Gi": 1 << 30}
_SIZING = re.search(
    r"memory = (\d+) MiB x workers \+ max_size"
    r" \+ connections x (\d+) KiB \+ answers on their way x (\d+) MiB",
    (ROOT / "docs/sizing.md").read_text(),
)
assert _SIZING is not None
PROCESS, PER_CONNECTION, ON_ITS_WAY = (
    int(number) * unit for number, unit in zip(_SIZING.groups(), (MIB, 1024, MIB), strict=True)
)


def parsed(path: Path) -> list[Any]:
    """All documents of a file of YAML."""
    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def settings_of(path: Path, environment: dict[str, str]) -> Settings:
    settings = load(path, environment)
    assert settings.require_origin()
    return settings


def port(settings: Settings) -> int:
    (address,) = settings.listen
    assert isinstance(address, TcpAddress)
    return address.port


def admin_port(settings: Settings) -> int:
    assert settings.admin is not None
    (address,) = settings.admin.listen
    assert isinstance(address, TcpAddress)
    return address.port


def bytes_of(text: str) -> int:
    found = re.fullmatch(r"(\d+)(\w+)", text)
    assert found is not None
    return int(found[1]) * SIZES[found[2]]


def needs(settings: Settings) -> int:
    """Bytes of memory that a process may come to, as docs/sizing.md adds them up."""
    return (
        PROCESS
        + settings.store.memory.max_size
        + settings.limits.connections * PER_CONNECTION
        + settings.origin.pool.connections * ON_ITS_WAY
    )


def drain(settings: Settings) -> float:
    return settings.drain_delay + settings.drain_timeout


class Unit:
    """A unit file; a key that occurs several times has all its values."""

    def __init__(self, name: str) -> None:
        self.path = SYSTEMD / name
        self.lines = [
            line.split("=", 1)
            for line in self.path.read_text().splitlines()
            if "=" in line and not line.startswith("#")
        ]

    def values(self, key: str) -> list[str]:
        return [value for name, value in self.lines if name == key]

    def value(self, key: str) -> str:
        (value,) = self.values(key)
        return value


class TestSystemd:
    service, socket = Unit("warmfront.service"), Unit("warmfront.socket")
    settings = settings_of(SYSTEMD / "warmfront.yaml", {})

    @pytest.mark.parametrize("unit", [service, socket], ids=lambda unit: unit.path.name)
    def test_each_is_a_unit(self, unit: Unit) -> None:
        parser = RawConfigParser(strict=False)
        parser.read_string(unit.path.read_text())
        assert "Unit" in parser.sections()

    def test_sockets_are_those_that_are_listened_on(self) -> None:
        streams = self.socket.values("ListenStream")
        assert self.settings.admin is not None
        listen = [*self.settings.listen, *self.settings.admin.listen]
        assert streams == [str(address).removeprefix(":") for address in listen]

    def test_what_is_run_is_what_is_checked(self) -> None:
        (check,) = self.service.values("ExecStartPre")
        assert check.split()[1:] == ["check", PLACE]
        program, *words = self.service.value("ExecStart").split()
        assert words == ["run", "--config", PLACE]
        assert check.split()[0] == program

    def test_there_is_time_to_drain(self) -> None:
        stop = self.service.value("TimeoutStopSec")
        assert float(stop.removesuffix("s")) > drain(self.settings)

    def test_there_are_descriptors_for_all(self) -> None:
        needed = self.settings.limits.connections + self.settings.origin.pool.connections + 32 + 64
        assert int(self.service.value("LimitNOFILE")) > needed

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
    def test_systemd_understands_them(self, tmp_path: Path) -> None:
        for unit in (self.service, self.socket):
            text = unit.path.read_text()
            text = text.replace("/opt/warmfront/bin/warmfront", sys.executable)
            (tmp_path / unit.path.name).write_text(text.replace("/bin/kill", "/usr/bin/kill"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
            capture_output=True,
            text=True,
            check=False,
        )
        about_ours = [line for line in done.stderr.splitlines() if "warmfront" in line]
        assert about_ours == []
        assert done.returncode == 0, done.stderr

    @pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
    def test_the_sandbox_is_tight(self) -> None:
        done = subprocess.run(
            [
                *("systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}"),
                str(self.service.path),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd cannot rate a unit that is not loaded")
        assert done.returncode == 0, done.stdout


class TestDocker:
    (compose,) = parsed(DOCKER / "compose.yaml")
    service = compose["services"]["warmfront"]

    @property
    def settings(self) -> Settings:
        """With what compose puts into the environment."""
        environment = {
            "WARMFRONT_ORIGIN": "http://host.docker.internal:8000",
            "WARMFRONT_ADMIN_TOKEN": TOKEN,
            "REDIS_URL": self.service["environment"]["REDIS_URL"],
        }
        assert environment.keys() == self.service["environment"].keys()
        return settings_of(DOCKER / "warmfront.yaml", environment)

    def test_it_is_a_compose_file(self) -> None:
        Draft202012Validator(get_builtin_schema("vendor.compose-spec")).validate(self.compose)

    def test_it_builds_our_image_of_this_version(self) -> None:
        assert (DOCKER / self.service["build"]).resolve() == ROOT
        assert self.service["image"] == f"warmfront:{__version__}"

    def test_ports_are_those_of_image_and_settings(self) -> None:
        inside = [int(ports.rpartition(":")[2]) for ports in self.service["ports"]]
        assert inside == [port(self.settings), admin_port(self.settings)]
        assert f"EXPOSE {inside[0]}\n" in DOCKERFILE
        assert self.service["ports"][1].startswith("127.0.0.1:")

    def test_the_file_is_mounted_where_the_image_reads_it(self) -> None:
        (volume,) = self.service["volumes"]
        here, there, mode = volume.split(":")
        assert (DOCKER / here).is_file()
        assert (there, mode) == (PLACE, "ro")
        assert PLACE in DOCKERFILE

    def test_redis_is_one_of_its_services(self) -> None:
        redis = self.settings.store.redis
        assert redis is not None
        assert redis.url.split("/")[2].split(":")[0] in self.compose["services"]
        assert set(self.service["depends_on"]) <= self.compose["services"].keys()
        assert "volatile-lru" in self.compose["services"]["redis"]["command"]

    def test_there_is_time_and_room(self) -> None:
        grace = float(self.service["stop_grace_period"].removesuffix("s"))
        assert grace > drain(self.settings)
        assert bytes_of(self.service["mem_limit"]) > needs(self.settings)

    def test_the_page_names_the_version(self) -> None:
        page = (ROOT / "docs" / "docker.md").read_text()
        assert set(re.findall(r"warmfront:(\d[\w.]*)", page)) == {__version__}


MANIFESTS = [
    document
    for file in sorted(KUBERNETES.glob("*.yaml"))
    if file.name not in {"kustomization.yaml", "warmfront.yaml"}
    for document in parsed(file)
]


def kind(name: str) -> Any:
    (found,) = [document for document in MANIFESTS if document["kind"] == name]
    return found


class TestKubernetes:
    (kustomization,) = parsed(KUBERNETES / "kustomization.yaml")
    pod = kind("Deployment")["spec"]["template"]
    container = pod["spec"]["containers"][0]
    scaler = kind("HorizontalPodAutoscaler")
    settings = settings_of(
        KUBERNETES / "warmfront.yaml",
        {
            "WARMFRONT_ORIGIN": "http://api:8000",
            "WARMFRONT_ADMIN_TOKEN": TOKEN,
            "REDIS_URL": "redis://redis:6379/0",
        },
    )

    @pytest.mark.parametrize(
        "manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
    )
    def test_it_is_what_kubernetes_takes(self, manifest: Any) -> None:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)

    def test_all_files_are_applied(self) -> None:
        applied = {*self.kustomization["resources"], "kustomization.yaml"}
        for generator in self.kustomization["configMapGenerator"]:
            applied |= set(generator["files"])
        assert applied == {file.name for file in KUBERNETES.iterdir()}

    def test_the_image_is_of_this_version(self) -> None:
        (image,) = self.kustomization["images"]
        assert image["name"] == self.container["image"]
        assert image["newTag"] == __version__

    def test_the_file_is_mounted_where_the_image_reads_it(self) -> None:
        (mount,) = self.container["volumeMounts"]
        (volume,) = self.pod["spec"]["volumes"]
        (generator,) = self.kustomization["configMapGenerator"]
        assert volume["configMap"]["name"] == generator["name"]
        assert mount["name"] == volume["name"]
        assert f"{mount['mountPath']}/{generator['files'][0]}" == PLACE

    def test_the_environment_is_what_the_file_asks_for(self) -> None:
        asked = set(re.findall(r"\$\{(\w+)\}", (KUBERNETES / "warmfront.yaml").read_text()))
        assert {variable["name"] for variable in self.container["env"]} == asked

    def test_secrets_are_those_that_the_page_makes(self) -> None:
        references = [
            variable["valueFrom"]["secretKeyRef"]
            for variable in self.container["env"]
            if "valueFrom" in variable
        ]
        made = "".join(block.text for block in blocks("sh") if "create secret" in block.text)
        assert {reference["name"] for reference in references} == {"warmfront"}
        assert "secret generic warmfront " in made
        assert all(f"--from-literal={reference['key']}=" in made for reference in references)

    def test_ports_are_those_of_the_settings(self) -> None:
        ports = {one["name"]: one["containerPort"] for one in self.container["ports"]}
        assert ports == {"http": port(self.settings), "admin": admin_port(self.settings)}
        services = [document for document in MANIFESTS if document["kind"] == "Service"]
        assert {one["targetPort"] for s in services for one in s["spec"]["ports"]} == ports.keys()

    def test_probes_ask_for_what_there_is_without_a_token(self) -> None:
        open_paths = {one.path for one in OPERATIONS if one.role is None}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            asked = self.container[probe]["httpGet"]
            assert asked["path"] in open_paths
            assert asked["port"] == "admin"
        assert self.container["readinessProbe"]["httpGet"]["path"] == "/readyz"

    def test_everything_selects_the_pods(self) -> None:
        labels = self.pod["metadata"]["labels"]
        for document in MANIFESTS:
            spec = document["spec"]
            selector = spec.get("selector", {"matchLabels": labels})
            assert selector in (labels, {"matchLabels": labels})
        assert (
            self.scaler["spec"]["scaleTargetRef"]["name"] == kind("Deployment")["metadata"]["name"]
        )

    def test_there_is_time_to_drain(self) -> None:
        readiness = self.container["readinessProbe"]
        noticed = readiness["periodSeconds"] * readiness["failureThreshold"]
        assert self.settings.drain_delay > noticed
        assert self.pod["spec"]["terminationGracePeriodSeconds"] > drain(self.settings)

    def test_there_is_room(self) -> None:
        assert bytes_of(self.container["resources"]["limits"]["memory"]) > needs(self.settings)

    def test_the_page_shows_what_kubernetes_takes(self) -> None:
        (shown,) = [block for block in blocks("yaml") if "kind: Horizontal" in block.text]
        manifest = YAML(typ="safe", pure=True).load(shown.text)
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        assert manifest["spec"]["scaleTargetRef"] == self.scaler["spec"]["scaleTargetRef"]
        (metric,) = manifest["spec"]["metrics"]
        (rules,) = [block for block in blocks("yaml") if "seriesQuery" in block.text]
        (rule,) = YAML(typ="safe", pure=True).load(rules.text)["rules"]
        assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
        assert rule["seriesQuery"].startswith(f"{specs.REQUESTS.name}{{")
        assert f"rate({specs.REQUESTS.name}{{outcome=" in rule["metricsQuery"]
        assert "outcome" in specs.REQUESTS.labels

    @pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
    def test_kubectl_puts_it_together(self) -> None:
        done = subprocess.run(
            ["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=False
        )
        if "dispatcher" in done.stderr:
            pytest.skip("no real kubectl")
        assert done.returncode == 0, done.stderr
        made = list(YAML(typ="safe", pure=True).load_all(done.stdout))
        assert len(made) == len(MANIFESTS) + 1


def test_json_of_the_schema_is_what_editors_are_told() -> None:
    for file in (*SYSTEMD.glob("*.yaml"), DOCKER / "warmfront.yaml", KUBERNETES / "warmfront.yaml"):
        (named,) = re.findall(r"\$schema=(\S+)", file.read_text())
        assert json.loads((file.parent / named).read_text())["title"] == "Warmfront configuration"
