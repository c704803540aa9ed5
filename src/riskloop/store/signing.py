"""The Ed25519 key of a portfolio. It lies outside of the database: in a file, the environment, or behind a command."""

import base64
import os
import shlex
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from riskloop.core.errors import ConfigError, NotFound, StorageError
from riskloop.core.settings import TrustSettings
from riskloop.store.files import FILE, make_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ENVIRONMENT: Final = "env:"
_COMMAND: Final = "command:"
_SIGNATURE: Final = 64  # bytes


class Signer(Protocol):
    """Who signs; the key itself need not be known to this process."""

    def public(self) -> bytes:
        """The raw public key, (32,)."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature, (64,)."""
        ...


def fingerprint(public: bytes) -> str:
    """What a key is called."""
    return sha256(public).hexdigest()[:16]


def verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a key signed this."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def open_signer(settings: TrustSettings, folder: Path) -> Signer | None:
    """The signer that riskloop.toml names; None where it names none.

    Raises NotFound when the key's file is missing, ConfigError when the key cannot be read.
    """
    named = settings.key.strip()
    if not named:
        return None
    if named.startswith(_ENVIRONMENT):
        name = named.removeprefix(_ENVIRONMENT)
        text = os.environ.get(name)
        if not text:
            raise ConfigError(f"[trust] key is to be in the environment variable {name}, which is not set.")
        return KeySigner(_private(text.encode(), f"the environment variable {name}"))
    if named.startswith(_COMMAND):
        if not settings.public_key:
            raise ConfigError(
                "[trust] public_key must name the file of the public key that belongs to key = 'command:…'."
            )
        public = read_public(folder / settings.public_key)
        return CommandSigner(shlex.split(named.removeprefix(_COMMAND)), public, folder, settings.timeout)
    path = key_file(settings, folder)
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode  # type: ignore[union-attr]
    except FileNotFoundError:
        raise NotFound(f"The key {path}, which [trust] key names, is not there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The key {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if mode & 0o077:
        raise ConfigError(f"Others can read the key {path}: make it private with `chmod 600 {path}`.")
    return KeySigner(_private(text.encode(), str(path)))


def key_file(settings: TrustSettings, folder: Path) -> Path | None:
    """Where the key's file is, when it is one."""
    named = settings.key.strip()
    return None if not named or named.startswith((_ENVIRONMENT, _COMMAND)) else folder / named


def make_key(path: Path) -> None:
    """Make a key's file, 0600, and its public key beside it; where another process was first, its key stays."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    private = made.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = made.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    try:
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # 0600
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(private)
                file.flush()
                os.fsync(file.fileno())
            os.link(staged, path)
            path.with_name(path.name + ".pub").write_bytes(public)
        finally:
            staged.unlink()
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(
            f"The key {path} cannot be made: {error.strerror or error}. See [trust] in settings.md."
        ) from None
    path.chmod(FILE)


def read_public(path: Path) -> bytes:
    """The raw public key of a PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The public key {path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
    if not isinstance(found, Ed25519PublicKey):
        raise ConfigError(f"The public key {path} is no Ed25519 key.")
    return _raw(found)


def _raw(key: "Ed25519PublicKey") -> bytes:
    return key.public_bytes_raw()


def _private(text: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(text.replace(b"\\n", b"\n"), None)
    except (ValueError, TypeError):
        raise ConfigError(f"{where} holds no unencrypted private key in PEM form.") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise ConfigError(f"{where} holds no Ed25519 key.")
    return found


class KeySigner:
    """A key in this process's memory."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key

    def public(self) -> bytes:
        """See :class:`Signer`."""
        return _raw(self._key.public_key())

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`."""
        return self._key.sign(message)


class CommandSigner:
    """A program that holds the key, such as one that asks a KMS: bytes in, 64 bytes or their base64 out."""

    def __init__(self, command: list[str], public: bytes, folder: Path, timeout: float) -> None:
        self._command = command
        self._public = public
        self._folder = folder
        self._timeout = timeout

    def public(self) -> bytes:
        """See :class:`Signer`."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """See :class:`Signer`. Raises StorageError when the program fails or answers with something else."""
        try:
            done = subprocess.run(  # noqa: S603 - the owner's own program, from riskloop.toml
                self._command, input=message, capture_output=True, timeout=self._timeout, cwd=self._folder, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise StorageError(f"The signing command {self._command[0]} failed: {_why(error)}.") from None
        signature = done.stdout
        if len(signature) != _SIGNATURE:
            try:
                signature = base64.b64decode(done.stdout, validate=False)
            except ValueError:
                signature = b""
        if len(signature) != _SIGNATURE or not verifies(self._public, signature, message):
            raise StorageError(
                f"The signing command {self._command[0]} answered with no signature of the key in [trust] public_key."
            )
        return signature


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return f"exit code {error.returncode}" + (f", {said[-1]}" if said else "")
    return "it took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error)
