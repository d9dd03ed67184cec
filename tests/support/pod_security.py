"""What Pod Security `restricted` forbids, control by control, as its documentation lists them.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (Linux pods). A namespace that enforces the
standard refuses a pod for each of these; here they are found without a cluster.
"""

from collections.abc import Iterator

from modelyard.api.service import Object

VOLUME_TYPES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SECCOMP_TYPES = {"RuntimeDefault", "Localhost"}
APPARMOR_TYPES = {"RuntimeDefault", "Localhost"}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(spec: Object) -> list[str]:
    """Each way in which the pod of this spec breaks the standard, empty for a pod that is admitted."""
    return [*_pod(spec), *(problem for container in _containers(spec) for problem in _container(container, spec))]


def _containers(spec: Object) -> list[Object]:
    return [*spec["containers"], *spec.get("initContainers", []), *spec.get("ephemeralContainers", [])]


def _pod(spec: Object) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes", []):
        for kind in volume.keys() - {"name"} - VOLUME_TYPES:
            yield f"volume {volume['name']} is a {kind}"
    security = spec.get("securityContext", {})
    for sysctl in security.get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']} is not safe"
    yield from _either_level(security, "the pod")


def _either_level(security: Object, where: str) -> Iterator[str]:
    """Controls that hold for a pod's and a container's security context alike."""
    if security.get("windowsOptions", {}).get("hostProcess"):
        yield f"{where} is a host process"
    if security.get("runAsUser") == 0:
        yield f"{where} runs as user 0"
    if security.get("seccompProfile", {"type": "RuntimeDefault"})["type"] not in SECCOMP_TYPES:
        yield f"{where} has no seccomp profile of the allowed types"
    if security.get("appArmorProfile", {"type": "RuntimeDefault"})["type"] not in APPARMOR_TYPES:
        yield f"{where} has no AppArmor profile of the allowed types"
    selinux = security.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or "user" in selinux or "role" in selinux:
        yield f"{where} chooses its SELinux label"


def _container(container: Object, spec: Object) -> Iterator[str]:
    name = container["name"]
    security = container.get("securityContext", {})
    pod_security = spec.get("securityContext", {})
    yield from _either_level(security, name)
    if security.get("privileged"):
        yield f"{name} is privileged"
    if security.get("allowPrivilegeEscalation") is not False:
        yield f"{name} may escalate privileges"
    if security.get("procMount", "Default") != "Default":
        yield f"{name} mounts another /proc"
    if security.get("runAsNonRoot", pod_security.get("runAsNonRoot")) is not True:
        yield f"{name} may run as root"
    if "seccompProfile" not in security and "seccompProfile" not in pod_security:
        yield f"{name} has no seccomp profile"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name} does not drop all capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name} adds capabilities"
    yield from _host_access(container)


def _host_access(container: Object) -> Iterator[str]:
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{container['name']} takes a port of the host"
    handlers = [container[probe] for probe in PROBES if probe in container] + list(
        container.get("lifecycle", {}).values()
    )
    for handler in handlers:
        if any(handler.get(way, {}).get("host") for way in ("httpGet", "tcpSocket")):
            yield f"{container['name']} has a handler that calls another host"
