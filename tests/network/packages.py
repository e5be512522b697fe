"""Packages as registries offer them: one of npm's, and one of PyPI's whose files are at another host."""

import base64
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import zipfile

place = pathlib.Path(sys.argv[1])


def npm():
    manifest = {"name": "tiny", "version": "1.0.0", "main": "index.js"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in [("package.json", json.dumps(manifest)), ("index.js", "module.exports = 'hello from npm'\n")]:
            about = tarfile.TarInfo("package/" + name)
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text.encode()))
    data = packed.getvalue()
    (place / "npm/tiny-1.0.0.tgz").write_bytes(data)
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    dist = {"tarball": "https://npm.example.com/tiny-1.0.0.tgz", "integrity": "sha512-" + digest}
    about = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {**manifest, "dist": dist}}}
    (place / "npm/tiny").write_text(json.dumps(about))


def pypi():
    info = "tiny-1.0.0.dist-info/"
    files = {
        "tiny.py": "said = 'hello from pypi'\n",
        info + "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0.0\n",
        info + "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[info + "RECORD"] = "".join(f"{name},,\n" for name in [*files, info + "RECORD"])
    wheel = "tiny-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(place / "files" / wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    digest = hashlib.sha256((place / "files" / wheel).read_bytes()).hexdigest()
    (place / "pypi/simple/tiny").mkdir(parents=True)
    link = f'<a href="https://files.example.com/{wheel}#sha256={digest}">{wheel}</a>'
    (place / "pypi/simple/tiny/index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>\n")


npm()
pypi()
