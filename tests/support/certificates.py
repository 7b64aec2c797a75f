"""Certificates for tests, made by deploy/certificates.sh, and clients that use them."""

import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "certificates.sh"
ROLES = ("actor", "planner", "learner", "replay", "operator")


def make(folder, *arguments):
    """Runs the script and returns the folder."""
    subprocess.run([SCRIPT, folder, *arguments], check=True, stdout=subprocess.DEVNULL)
    return pathlib.Path(folder)


def make_expired(folder, role):
    """Puts a certificate that expired yesterday in place of the role's."""
    ca, own = pathlib.Path(folder), pathlib.Path(folder, role)
    request = subprocess.run(["openssl", "req", "-new", "-key", own / "tls.key", "-subj", "/CN=expired"], check=True,
                             capture_output=True).stdout
    extensions = own / "extensions"
    extensions.write_text(f"subjectAltName=URI:pompc:role/{role},DNS:{role}.pompc\n")
    made = subprocess.run(["openssl", "x509", "-req", "-CA", ca / "ca.crt", "-CAkey", ca / "ca.key", "-days", "-1",
                           "-set_serial", "77", "-extfile", extensions], input=request, check=True, capture_output=True)
    (own / "tls.crt").write_bytes(made.stdout)
    return own


def channel(grpc, address, ca, own, server):
    """A channel to a server of role `server`: `ca` is the folder with ca.crt, `own` that of the client's certificate, or
    None for a client without one."""
    key, certificate = (None, None) if own is None else ((own / name).read_bytes() for name in ("tls.key", "tls.crt"))
    credentials = grpc.ssl_channel_credentials((ca / "ca.crt").read_bytes(), key, certificate)
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", f"{server}.pompc"),
                                                      ("grpc.use_local_subchannel_pool", 1),
                                                      ("grpc.enable_http_proxy", 0)])
