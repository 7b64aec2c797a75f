"""deploy/compose.yaml is accepted by Compose and keeps to what 1.29 and 2 both do; deploy/stack.yaml is accepted by
`docker stack` and says the same of the roles; the images' flags and variables are the programs'.

Usage: compose_test.py BINARY_FOLDER
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import unittest

import programs
import tools

try:
    import yaml
except ImportError:
    tools.skip("PyYAML is not installed (python3-yaml)")

BINARIES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tools.ROOT, "build", "release", "bin")
COMPOSE = tools.compose_command()
STACK_FILE = os.path.join(os.path.dirname(tools.COMPOSE_FILE), "stack.yaml")
SHARDS_AND_ACTORS = {"replay-0", "replay-1", "actor", "evaluator", "prometheus"}
# Variables of a user's own shell must not reach the files.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("POMPC_", "COMPOSE_"))}


def config(*arguments, profile="cpu", **variables):
    return subprocess.run([*COMPOSE, "-f", tools.COMPOSE_FILE, *arguments, "--profile", profile, "config"],
                          capture_output=True, text=True, env=ENVIRONMENT | variables)


@functools.lru_cache
def services_of(profile):
    """Name -> service of compose.yaml, of those that the profile starts."""
    result = config(profile=profile)
    assert result.returncode == 0, result.stderr
    # Compose 1.29 shows all services.
    return {name: service for name, service in yaml.safe_load(result.stdout)["services"].items()
            if profile in service.get("profiles", [profile])}


def stack_services():
    with open(STACK_FILE, encoding="utf-8") as file:
        return yaml.safe_load(file)["services"]


def image_of(service):
    """The program's name: "planner" of pompc-planner:latest; None for others' images."""
    found = re.search(r"pompc-(?:\})?(\w+):|IMAGE_PREFIX:-pompc-\}(\w+):", service["image"])
    return found and (found[1] or found[2])


def words(command):
    return command if isinstance(command, list) else command.split()


class ComposeTest(unittest.TestCase):
    def test_each_profile_has_every_role(self):
        self.assertEqual(services_of("cpu").keys(), SHARDS_AND_ACTORS | {"planner", "learner"})
        self.assertEqual(services_of("gpu").keys(), SHARDS_AND_ACTORS | {"planner-gpu", "learner-gpu"})
        self.assertEqual(services_of("ui").keys(), {"grafana"})

    def test_gpus_are_reserved_for_planner_and_learner(self):
        for name, service in services_of("gpu").items():
            devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
            self.assertEqual(len(devices), 1 if name.endswith("-gpu") else 0, name)
            if devices:
                self.assertEqual(devices[0]["capabilities"], ["gpu"])
                self.assertEqual(service["environment"]["POMPC_DEVICE"], "cuda")
                self.assertEqual(service["networks"]["cluster"]["aliases"], [name.removesuffix("-gpu")])

    def test_roles_start_when_what_they_need_is_healthy(self):
        for profile, suffix in (("cpu", ""), ("gpu", "-gpu")):
            services = services_of(profile)
            for name, needed in ((f"learner{suffix}", {"replay-0", "replay-1"}), ("actor", {"replay-0", "replay-1"}),
                                 (f"planner{suffix}", {f"learner{suffix}"})):
                conditions = {other: need["condition"] for other, need in services[name]["depends_on"].items()}
                self.assertEqual(conditions, dict.fromkeys(needed, "service_healthy"), name)

    def test_flags_and_variables_are_the_programs(self):
        for service in [*services_of("cpu").values(), *services_of("gpu").values(), *stack_services().values()]:
            if image := image_of(service):
                self.assertEqual(programs.unknown_arguments(BINARIES, image, words(service["command"]),
                                                            service["environment"]), [])

    def test_roles_are_confined_and_limited(self):
        for name, service in services_of("cpu").items():
            with self.subTest(service=name):
                self.assertIs(service["read_only"], True)
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertIn("mem_limit", service)
                self.assertFalse(service.get("privileged", False))

    def test_settings_come_from_variables(self):
        result = config(POMPC_ACTOR_MEMORY="3g", POMPC_ACTOR_CPUS="1.5", POMPC_CERTIFICATES="", POMPC_INSECURE="true")
        actor = yaml.safe_load(result.stdout)["services"]["actor"]
        # Compose 2 writes bytes.
        self.assertIn(str(actor["mem_limit"]), ("3g", str(3 << 30)))
        self.assertEqual(float(actor["cpus"]), 1.5)
        self.assertEqual(actor["environment"]["POMPC_CERTIFICATES"], "")
        self.assertEqual(actor["environment"]["POMPC_INSECURE"], "true")

    def test_without_settings_traffic_is_secured(self):
        for service in [*services_of("cpu").values(), *services_of("gpu").values()]:
            if image_of(service):
                self.assertEqual(service["environment"]["POMPC_CERTIFICATES"], "/run/pompc")
                self.assertEqual(service["environment"]["POMPC_INSECURE"], "false")

    def test_is_valid_with_assets_and_mounts_them_read_only(self):
        folder = os.path.dirname(tools.COMPOSE_FILE)
        arguments = ("-f", os.path.join(folder, "compose.assets.yaml"))
        result = subprocess.run([*COMPOSE, "-f", tools.COMPOSE_FILE, *arguments, "config"], capture_output=True,
                                text=True, env=ENVIRONMENT | {"POMPC_ASSETS": "/srv/control-suite"})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count("POMPC_ASSETS: /assets"), 2)
        self.assertRegex(result.stdout, r"/srv/control-suite:/assets:ro|read_only: true\n *source: /srv/control-suite|"
                                        r"source: /srv/control-suite\n *target: /assets\n *read_only: true")
        self.assertIn("scripts/fetch-control-suite.sh", config(*arguments).stderr)

    def test_has_nothing_that_one_of_the_versions_lacks(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            text = file.read()
        self.assertNotRegex(text, r"(?m)^(name|configs|secrets):")
        self.assertNotIn("container_name:", text)

    def test_publishes_on_loopback_alone(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            published = re.findall(r"ports: \[(.*)\]", file.read())
        self.assertTrue(published)
        self.assertEqual([ports for ports in published if not ports.startswith('"127.0.0.1:')], [])

    def test_mounted_files_exist(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            mounted = re.findall(r"- (\./[^:]*):", file.read())
        self.assertTrue(mounted)
        folder = os.path.dirname(tools.COMPOSE_FILE)
        self.assertEqual([path for path in mounted if not os.path.exists(os.path.join(folder, path))], [])


class StackTest(unittest.TestCase):
    def test_docker_takes_it(self):
        if not shutil.which("docker") or subprocess.run(["docker", "stack", "config", "--help"], capture_output=True).returncode:
            self.skipTest("no docker with `docker stack config` is installed")
        result = subprocess.run(["docker", "stack", "config", "-c", STACK_FILE], capture_output=True, text=True,
                                env=ENVIRONMENT)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_has_the_roles_of_compose_with_their_arguments(self):
        stack = stack_services()
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            compose = yaml.safe_load(file)["services"]
        self.assertEqual(stack.keys(), services_of("cpu").keys())
        for name, service in stack.items():
            with self.subTest(service=name):
                for field in ("image", "command", "environment", "read_only", "cap_drop", "tmpfs", "stop_grace_period", "healthcheck"):
                    self.assertEqual(service.get(field), compose[name].get(field), field)

    def test_each_replica_has_its_address_and_its_place(self):
        for name, service in stack_services().items():
            with self.subTest(service=name):
                self.assertEqual(service["deploy"]["endpoint_mode"], "dnsrr")
                [constraint] = service["deploy"]["placement"]["constraints"]
                self.assertRegex(constraint, r"^node\.labels\.pompc\.[\w-]+ == 1$")
                self.assertIn("memory", service["deploy"]["resources"]["limits"])

    def test_roles_get_their_own_certificates(self):
        for name, service in stack_services().items():
            if image := image_of(service):
                self.assertEqual({secret["source"]: secret["target"] for secret in service["secrets"]},
                                 {"ca": "/run/pompc/ca.crt", f"{image}-certificate": "/run/pompc/tls.crt",
                                  f"{image}-key": "/run/pompc/tls.key"}, name)


class ImagesTest(unittest.TestCase):
    def test_every_role_has_a_health_check_and_is_no_root(self):
        with open(os.path.join(tools.ROOT, "docker", "Dockerfile"), encoding="utf-8") as file:
            stages = re.split(r"(?m)^FROM ", file.read())[1:]
        for image in programs.IMAGES:
            [stage] = [stage for stage in stages if stage.startswith(f"runtime AS {image}\n") or
                       stage.startswith(f"runtime-torch AS {image}\n")]
            self.assertIn(f'CMD ["pompc-{image}", "--healthcheck"]', stage)
        runtimes = [stage for stage in stages if re.match(r"\$\{RUNTIME\w*\} AS runtime", stage)]
        self.assertEqual(len(runtimes), 2)
        for stage in runtimes:
            self.assertRegex(stage, r"(?m)^USER 10000$")
            self.assertIn("org.opencontainers.image.version", stage)

    def test_private_keys_stay_out_of_images(self):
        with open(os.path.join(tools.ROOT, ".dockerignore"), encoding="utf-8") as file:
            self.assertIn("/deploy/certificates\n", file.read())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
