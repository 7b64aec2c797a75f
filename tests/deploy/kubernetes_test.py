"""deploy/kubernetes/ renders, is valid, and holds together: selectors find pods, ports and flags are the programs', what
one object names another one is.

Usage: kubernetes_test.py BINARY_FOLDER
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

import programs
import tools
from tools import metrics_table

try:
    import yaml
except ImportError:
    tools.skip("PyYAML is not installed (python3-yaml)")
try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

BINARIES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tools.ROOT, "build", "release", "bin")
FOLDER = os.path.join(tools.ROOT, "deploy", "kubernetes")
# A version in which all that is used is there, and a newer one.
VERSIONS = ("1.28", "1.32")
ROLES = ("replay", "learner", "planner", "actor")
# Kinds that are not Kubernetes' own: version, and fields without which their controllers do nothing.
CUSTOM = {
    "PodMonitor": ("monitoring.coreos.com/v1", ("selector", "podMetricsEndpoints")),
    "Certificate": ("cert-manager.io/v1", ("secretName", "issuerRef")),
    "Issuer": ("cert-manager.io/v1", ()),
    "JobSet": ("jobset.x-k8s.io/v1alpha2", ("replicatedJobs",)),
}


def require_kubectl():
    """Path of a kubectl that knows components and labels; skips without one."""
    kubectl = tools.require_or("kubectl", "install kubernetes-client of Debian 13, or another kubectl of 1.22 or later")
    version = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True).stdout
    found = re.search(r'v1\.(\d+)|GitVersion:"v1\.(\d+)', version)
    if not found or int(found[1] or found[2]) < 22:
        tools.skip(f"kubectl is older than 1.22, whose kustomize knows no components: {version.strip()}")
    return kubectl


KUBECTL = require_kubectl()


def render(folder):
    result = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def render_with_cert_manager():
    """The overlay cpu with the component, as docs/deployment.md has its readers write it."""
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.relpath(os.path.realpath(FOLDER), os.path.realpath(folder))
        with open(os.path.join(folder, "kustomization.yaml"), "w", encoding="utf-8") as file:
            yaml.safe_dump({"namespace": "pompc", "resources": [f"{place}/overlays/cpu"],
                            "components": [f"{place}/components/cert-manager"]}, file)
        return render(folder)


RENDERED = {overlay: render(os.path.join(FOLDER, "overlays", overlay)) for overlay in ("cpu", "gpu", "jobset")}
RENDERED["cert-manager"] = render_with_cert_manager()


def of_kind(objects, *kinds):
    return [found for found in objects if found["kind"] in kinds]


def pod_templates(objects):
    """(what it is, pod template) of all workloads."""
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        yield f'{workload["kind"]} {workload["metadata"]["name"]}', workload["spec"]["template"]
    for job_set in of_kind(objects, "JobSet"):
        for job in job_set["spec"]["replicatedJobs"]:
            yield f'job {job["name"]}', job["template"]["spec"]["template"]


def selects(selector, labels):
    """Whether a LabelSelector takes a pod with these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def image_of(container):
    """The program's name: "planner" of registry.example/pompc-planner:latest."""
    return re.search(r"/pompc-(\w+):", container["image"])[1]


class EveryOverlay(unittest.TestCase):
    def test_has_a_workload_of_each_role(self):
        for objects in RENDERED.values():
            found = {template["spec"]["containers"][0]["image"] for _, template in pod_templates(objects)}
            self.assertEqual({re.search(r"/pompc-(\w+):", image)[1] for image in found}, set(programs.IMAGES))

    def test_is_valid(self):
        if kubernetes_validate is None:
            self.skipTest("the Python package kubernetes-validate is not installed (scripts/kubernetes-check.sh)")
        for objects in RENDERED.values():
            for version in VERSIONS:
                for found in objects:
                    if found["kind"] not in CUSTOM:
                        kubernetes_validate.validate(found, version, strict=True)

    def test_pods_inside_other_objects_are_valid(self):
        if kubernetes_validate is None:
            self.skipTest("the Python package kubernetes-validate is not installed (scripts/kubernetes-check.sh)")
        for job_set in of_kind(RENDERED["jobset"], "JobSet"):
            for job in job_set["spec"]["replicatedJobs"]:
                with self.subTest(job=job["name"]):
                    kubernetes_validate.validate({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
                                                  "spec": job["template"]["spec"]}, VERSIONS[0], strict=True)

    def test_other_kinds_have_what_they_need(self):
        for objects in RENDERED.values():
            for found in of_kind(objects, *CUSTOM):
                version, fields = CUSTOM[found["kind"]]
                self.assertEqual(found["apiVersion"], version)
                self.assertEqual([field for field in fields if not found["spec"].get(field)], [])

    def test_is_in_one_namespace(self):
        for objects in RENDERED.values():
            self.assertEqual({found["metadata"].get("namespace") for found in objects if found["kind"] != "Namespace"},
                             {"pompc"})

    def test_selectors_find_pods(self):
        for objects in RENDERED.values():
            pods = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
            selectors = [(found, {"matchLabels": found["spec"]["selector"]}) for found in of_kind(objects, "Service")]
            selectors += [(found, found["spec"]["selector"]) for found in of_kind(objects, "PodDisruptionBudget", "PodMonitor")]
            selectors += [(found, found["spec"]["podSelector"]) for found in of_kind(objects, "NetworkPolicy")]
            for found, selector in selectors:
                self.assertTrue(any(selects(selector, labels) for labels in pods), found)
            for workload in of_kind(objects, "Deployment", "StatefulSet"):
                self.assertTrue(selects(workload["spec"]["selector"], workload["spec"]["template"]["metadata"]["labels"]))

    def test_policies_let_pods_in_that_there_are(self):
        for objects in RENDERED.values():
            pods = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
            pods += [pod["metadata"]["labels"] for pod in of_kind(objects, "Pod")]
            for policy in of_kind(objects, "NetworkPolicy"):
                for peer in (peer for rule in policy["spec"]["ingress"] for peer in rule["from"]):
                    if "podSelector" in peer:
                        self.assertTrue(any(selects(peer["podSelector"], labels) for labels in pods), peer)

    def test_every_role_is_watched_and_guarded(self):
        for overlay, objects in RENDERED.items():
            if overlay == "jobset":
                continue
            for what, template in pod_templates(objects):
                for kind, field in (("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")):
                    self.assertTrue(any(selects(found["spec"][field], template["metadata"]["labels"])
                                        for found in of_kind(objects, kind)), (what, kind))

    def test_ports_are_those_of_the_images(self):
        ports = programs.image_ports()
        for objects in RENDERED.values():
            for what, template in pod_templates(objects):
                named = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
                self.assertEqual(named, {name: ports[name] for name in named}, what)
            for service in of_kind(objects, "Service"):
                self.assertEqual([(port["port"], port["targetPort"]) for port in service["spec"]["ports"]],
                                 [(ports["grpc"], "grpc")])
            for policy in of_kind(objects, "NetworkPolicy"):
                for rule in policy["spec"]["ingress"]:
                    self.assertLessEqual({port["port"] for port in rule["ports"]}, set(ports.values()))

    def test_flags_and_variables_are_the_programs(self):
        for objects in RENDERED.values():
            for what, template in pod_templates(objects):
                [container] = template["spec"]["containers"]
                names = {variable["name"] for variable in container.get("env", ())}
                # It is there for the value of a flag.
                used = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
                self.assertLessEqual(used, names)
                self.assertEqual(programs.unknown_arguments(BINARIES, image_of(container), container["args"], names - used),
                                 [], what)

    def test_probes_ask_the_program_of_the_image(self):
        for objects in RENDERED.values():
            for what, template in pod_templates(objects):
                [container] = template["spec"]["containers"]
                self.assertEqual(container["readinessProbe"]["exec"]["command"],
                                 [f"pompc-{image_of(container)}", "--healthcheck"], what)

    def test_pods_are_confined(self):
        for objects in RENDERED.values():
            for what, template in pod_templates(objects):
                with self.subTest(what=what):
                    pod, [container] = template["spec"], template["spec"]["containers"]
                    self.assertTrue(pod["securityContext"]["runAsNonRoot"])
                    self.assertIs(pod["automountServiceAccountToken"], False)
                    self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], 60)
                    self.assertEqual(container["securityContext"], {
                        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]}})
                    self.assertIn("memory", container["resources"]["limits"])

    def test_volumes_and_keys_are_there(self):
        for objects in RENDERED.values():
            keys = {found["metadata"]["name"]: set(found["data"]) for found in of_kind(objects, "ConfigMap")}
            claims = {found["metadata"]["name"] for found in of_kind(objects, "PersistentVolumeClaim")}
            templates = {claim["metadata"]["name"] for found in of_kind(objects, "StatefulSet")
                         for claim in found["spec"]["volumeClaimTemplates"]}
            for what, template in pod_templates(objects):
                [container] = template["spec"]["containers"]
                volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
                self.assertLessEqual({mount["name"] for mount in container["volumeMounts"]}, volumes.keys() | templates)
                self.assertLessEqual({volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()
                                      if "persistentVolumeClaim" in volume}, claims)
                self.assertEqual(volumes["certificates"]["secret"]["secretName"], f"{image_of(container)}-certificate")
                for variable in container.get("env", ()):
                    if key := variable.get("valueFrom", {}).get("configMapKeyRef"):
                        self.assertIn(key["key"], keys[key["name"]], what)

    def test_addresses_are_of_services_or_pods(self):
        grpc = programs.image_ports()["grpc"]
        for objects in RENDERED.values():
            known = {service["metadata"]["name"] for service in of_kind(objects, "Service")}
            for found in of_kind(objects, "StatefulSet"):
                known |= {f'{found["metadata"]["name"]}-{index}.{found["spec"]["serviceName"]}'
                          for index in range(found["spec"]["replicas"])}
            for found in of_kind(objects, "JobSet"):
                domain = found["spec"]["network"]["subdomain"]
                known |= {f'{found["metadata"]["name"]}-{job["name"]}-0-{index}.{domain}'
                          for job in found["spec"]["replicatedJobs"]
                          for index in range(job["template"]["spec"]["completions"])}
            text = yaml.safe_dump(objects)
            addresses = set(re.findall(rf"([\w.-]+):{grpc}\b", text))
            self.assertTrue(addresses)
            self.assertEqual(addresses - known, set())


class AutoscalingTest(unittest.TestCase):
    def test_targets_and_numbers_are_there(self):
        with open(os.path.join(FOLDER, "components", "autoscaling", "prometheus-adapter.yaml"), encoding="utf-8") as file:
            rules = yaml.safe_load(file)["rules"]["custom"]
        offered = {rule["name"]["as"].replace("${1}", re.sub("_count$", "", rule["seriesQuery"].partition("{")[0]))
                   for rule in rules}
        workloads = {(found["kind"], found["metadata"]["name"]) for found in RENDERED["cpu"]}
        scalers = of_kind(RENDERED["cpu"], "HorizontalPodAutoscaler")
        self.assertEqual({found["metadata"]["name"] for found in scalers}, {"planner", "actor"})
        for found in scalers:
            target = found["spec"]["scaleTargetRef"]
            self.assertIn((target["kind"], target["name"]), workloads)
            for metric in found["spec"]["metrics"]:
                self.assertIn((metric.get("pods") or metric["object"])["metric"]["name"], offered)
        for rule in rules:
            for name in re.findall(r"\bpompc_\w+", rule["seriesQuery"]):
                documented = metrics_table.all_documented().keys()
                self.assertIn(re.sub("_(count|sum)$", "", name), documented)

    def test_replicas_are_left_to_the_scaler(self):
        scaled = {found["spec"]["scaleTargetRef"]["name"] for found in of_kind(RENDERED["cpu"], "HorizontalPodAutoscaler")}
        for found in of_kind(RENDERED["cpu"], "Deployment"):
            self.assertEqual("replicas" in found["spec"], found["metadata"]["name"] not in scaled)


class OverlayTest(unittest.TestCase):
    def test_gpu_plans_and_trains_on_gpus(self):
        for what, template in pod_templates(RENDERED["gpu"]):
            [container] = template["spec"]["containers"]
            on_gpu = image_of(container) in ("learner", "planner")
            self.assertEqual(container["resources"]["limits"].get("nvidia.com/gpu"), 1 if on_gpu else None, what)
            self.assertEqual({"name": "POMPC_DEVICE", "value": "cuda"} in container["env"], on_gpu, what)
            self.assertEqual(container["image"].endswith("-cuda"), on_gpu, what)

    def test_jobs_end_with_the_learner_and_wait_in_a_queue(self):
        [job_set] = of_kind(RENDERED["jobset"], "JobSet")
        self.assertIn("kueue.x-k8s.io/queue-name", job_set["metadata"]["labels"])
        self.assertEqual(job_set["spec"]["successPolicy"]["targetReplicatedJobs"], ["learner"])
        self.assertIn("learner", {job["name"] for job in job_set["spec"]["replicatedJobs"]})

    def test_cert_manager_makes_each_roles_certificate(self):
        certificates = {found["spec"]["secretName"]: found["spec"] for found in of_kind(RENDERED["cert-manager"], "Certificate")}
        issuers = {found["metadata"]["name"] for found in of_kind(RENDERED["cert-manager"], "Issuer")}
        self.assertEqual({spec["issuerRef"]["name"] for spec in certificates.values()}, issuers)
        for role in (*ROLES, "operator"):
            spec = certificates[f"{role}-certificate"]
            self.assertEqual(spec["uris"], [f"pompc:role/{role}"])
            self.assertLessEqual({"server auth", "client auth"}, set(spec["usages"]))


class CheckTest(unittest.TestCase):
    def test_selectors_are_compared(self):
        labels = {"a": "1", "b": "2"}
        self.assertTrue(selects({"matchLabels": {"a": "1"}}, labels))
        self.assertFalse(selects({"matchLabels": {"a": "2"}}, labels))
        self.assertFalse(selects({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, labels))

    def test_unknown_flags_are_found(self):
        self.assertEqual(programs.unknown_arguments(BINARIES, "planner", ["--learner=a:1", "--no-such-flag"],
                                                    {"POMPC_LEARNER", "POMPC_NO_SUCH"}), ["--no-such-flag", "POMPC_NO_SUCH"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
