"""Certificates for end-to-end tests: an authority of our own, made by the openssl command, which
can issue certificates for any time."""
import datetime
import functools
import pathlib
import subprocess

import harness

CONFIG = """
[ca]
default_ca = ours
[ours]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = anything
unique_subject = no
copy_extensions = copy
[anything]
organizationName = optional
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
commonName = unused
"""
TODAY = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def days(count):
    """A moment `count` days from now."""
    return TODAY + datetime.timedelta(days=count)


def run(*arguments, stdin=None):
    done = subprocess.run([harness.need("openssl"), *map(str, arguments)], input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr}"
    return done.stdout


class Certificate:
    """PEM files, and what the openssl command reads in the certificate."""

    def __init__(self, certificate, key, chain=()):
        self.key = key
        self.certificate = certificate
        self.bundle = certificate
        if chain:
            self.bundle = certificate.with_suffix(".bundle.pem")
            self.bundle.write_text("".join(p.read_text() for p in (certificate, *chain)))

    def _field(self, *flags):
        return run("x509", "-in", self.certificate, "-noout", *flags).strip().split("=", 1)[1]

    @functools.cache
    def not_after(self):
        when = datetime.datetime.strptime(self._field("-enddate"), "%b %d %H:%M:%S %Y GMT")
        return when.replace(tzinfo=datetime.timezone.utc).timestamp()

    @functools.cache
    def labels(self):
        """What probe_ssl_last_chain_info should say of it."""
        names = run("x509", "-in", self.certificate, "-noout", "-ext", "subjectAltName")
        dns = [n.strip()[4:] for line in names.splitlines()[1:] for n in line.split(",")
               if n.strip().startswith("DNS:")]
        return {
            "fingerprint_sha256": self._field("-fingerprint", "-sha256").replace(":", "").lower(),
            "subject": self._field("-subject", "-nameopt", "RFC2253"),
            "issuer": self._field("-issuer", "-nameopt", "RFC2253"),
            "subjectalternative": ",".join(dns),
            "serialnumber": self._field("-serial").lower(),
        }


class Authority:
    def __init__(self, folder, name, start=days(-1000), end=days(1000), signed_by=None):
        self.folder = pathlib.Path(folder) / name.replace(" ", "-")
        self.folder.mkdir()
        (self.folder / "index.txt").touch()
        self.config = self.folder / "ca.cnf"
        self.config.write_text(CONFIG.format(folder=self.folder))
        extensions = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
        issuer = signed_by or self
        # An authority signs its own certificate with its own key.
        self.own = issuer._sign(self.folder / "ca", f"/O=Sonde Tests/CN={name}", extensions, start,
                                end, self_sign=signed_by is None)
        self.certificate = self.own.certificate

    def _sign(self, path, subject, extensions, start, end, self_sign=False, chain=()):
        key, request, out = (path.with_suffix(s) for s in (".key", ".csr", ".pem"))
        run("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-config", self.config, "-keyout", key, "-out", request, "-subj", subject)
        extra = path.with_suffix(".ext")
        extra.write_text(extensions)
        signer = (["-selfsign", "-keyfile", key] if self_sign else
                  ["-cert", self.certificate, "-keyfile", self.own.key])
        run("ca", "-batch", "-notext", "-config", self.config, *signer, "-in", request, "-out", out,
            "-extfile", extra, "-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate",
            f"{end:%Y%m%d%H%M%SZ}")
        return Certificate(out, key, chain)

    def issue(self, name, names="DNS:localhost,IP:127.0.0.1", start=days(-10), end=days(90),
              subject=None, chain=(), self_signed=False):
        extensions = f"subjectAltName={names}\nbasicConstraints=CA:false\n"
        return self._sign(self.folder / name, subject or f"/O=Sonde Tests/CN={name}", extensions,
                          start, end, self_signed, chain)
