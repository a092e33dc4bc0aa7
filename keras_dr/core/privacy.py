"""What results may say of a patient: by default a keyed hash of the identifier, and no name, date of birth or UID.

The hash is HMAC-SHA-256 (RFC 2104) of the identifier. The same patient has the same hash in all results that were made
with one key, and without the key no list of identifiers leads back to them. The key lies in a file of the user's, made
when it is first needed, and never in a result.
"""

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from keras_dr.core.dicom_files import DICOM_SUFFIXES
from keras_dr.core.errors import KerasDrError
from keras_dr.core.folders import MANIFESTS
from keras_dr.core.frames import split_frame, subject_of
from keras_dr.core.image_files import printable, resolved

if TYPE_CHECKING:
    from keras_dr.core.dicom import Subject

_KEY_BYTES = 32
_HASH_DIGITS = 16  # 64 bits: two of a million patients share a hash with a probability of 3e-8
_SHORTEST = 3  # characters of a text that is replaced within words as well
_UID = re.compile(r"\d+(?:\.\d+){5,}")


def default_key_file() -> Path:
    """Return the user's key file: keras_dr/key in $XDG_CONFIG_HOME, which is ~/.config by default.

    Raises:
        KerasDrError: the user has no home, as some users of services.
    """
    folder = os.environ.get("XDG_CONFIG_HOME")
    try:
        return Path(folder or Path.home() / ".config") / "keras_dr" / "key"
    except RuntimeError as error:
        raise KerasDrError("This user has no home folder to keep the key in.", "Name a file with --key.") from error


@dataclass(frozen=True)
class Privacy:
    """How results name patients.

    Attributes:
        key_file: the file of the key; None: `default_key_file()`. It is made if it does not exist.
        identified: whether results keep the patient's identifier and the identifiers of the study.
    """

    key_file: Path | None = field(default=None)
    identified: bool = False

    def key(self, make: bool = True) -> bytes:
        """Return the key.

        Args:
            make: whether a key is made if there is none.

        Raises:
            KerasDrError: the file is not a key, others may read it, it cannot be read or made, or there is none.
        """
        file = self.key_file or default_key_file()
        if not make and not file.exists():
            raise KerasDrError(f"There is no key {printable(file)}.", "Name the key that was used with --key.")
        return read_key(file)

    def about(self, subject: "Subject") -> dict[str, str]:
        """Return what a result says of a photograph's subject, all as text: patient, eye, date, device.

        With `identified`, the identifiers of study and instance are added; without it, the patient is a keyed hash.

        Args:
            subject: what the DICOM file says.
        """
        device = self.mask(subject.device, subject.secrets)
        about = {"patient": self.patient(subject.patient_id), "eye": subject.eye, "date": subject.date}
        about["device"] = subject.device if self.identified else device
        if subject.burned_in:
            about["burned_in"] = "yes"
        if self.identified:
            about |= {"study_uid": subject.study_uid, "instance_uid": subject.instance_uid}
        return about

    def patient(self, patient_id: str) -> str:
        """Return a patient's identifier as results may hold it; "" if there is none.

        Args:
            patient_id: the identifier, as the clinic wrote it.

        Example:
            >>> Privacy(Path("key")).patient("P-0815")
            'id-3f1c9a52b7e04d68'
        """
        if self.identified or not patient_id:
            return patient_id
        digest = hmac.new(self.key(), b"patient:" + patient_id.encode(), hashlib.sha256).hexdigest()
        return f"id-{digest[:_HASH_DIGITS]}"

    def mask(self, text: str, known: tuple[str, ...] = ()) -> str:
        """Return a text, such as the path of a file, in which hashes stand for identifying parts.

        Replaced are the known parts and everything that looks like a DICOM UID. Marks within a known part may differ or
        be missing: archives write HOSP-4711 as HOSP4711. A known part of one or two letters and digits is replaced only
        where it stands alone, as in "7_left.dcm".

        Args:
            text: the text.
            known: identifying texts, as `Subject.secrets` lists them.
        """
        if self.identified:
            return text
        for secret in sorted(known, key=len, reverse=True):
            if _plain(secret) in _plain(text):
                text = re.sub(_pattern(secret), lambda found: self._short(found[0]), text, flags=re.IGNORECASE)
        return _UID.sub(lambda found: self._short(found[0]), text)

    def _short(self, text: str) -> str:
        digest = hmac.new(self.key(), b"text:" + text.casefold().encode(), hashlib.sha256).hexdigest()
        return f"id-{digest[:_HASH_DIGITS]}"


def _plain(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return "".join(filter(str.isalnum, text.casefold()))


def _pattern(secret: str) -> str:
    """Return a pattern of a text in which marks other than those between folders may differ or be missing."""
    parts = [re.escape(part) for part in re.split(r"[\W_]+", secret) if part]
    if not parts:
        return re.escape(secret)
    pattern = r"(?:[^\w/\\]|_)*".join(parts)
    return pattern if len(_plain(secret)) >= _SHORTEST else rf"(?<![^\W_]){pattern}(?![^\W_])"


def shown_name(path: Path, privacy: Privacy, folder: Path | None = None) -> str:
    """Return the path of a photograph as results may name it: without the identifying parts that its file names.

    Args:
        path: the path of a file or a frame.
        privacy: how results name patients.
        folder: the folder to which the result is relative; None: the path as it is.
    """
    name = printable(path.relative_to(folder) if folder else path)
    subject = subject_of(path)
    if subject:
        return privacy.mask(name, subject.secrets)
    suffix = split_frame(path)[0].suffix.lower()
    is_broken_dicom = suffix in DICOM_SUFFIXES or suffix[1:].isdigit()
    return privacy.mask(name) if is_broken_dicom else name


def shown_error(error: Exception, path: Path, privacy: Privacy) -> str:
    """Return the message of an error about a photograph as results may hold it; it often names the path."""
    return str(error).replace(printable(path), shown_name(path, privacy))


def read_key(file: Path) -> bytes:
    """Return the key in a file; if there is none, make one that only its owner can read.

    Args:
        file: the file.

    Raises:
        KerasDrError: the file is not a key, others may read it, it lies in a result, or it cannot be read or made.
    """
    try:
        if not file.exists():
            _make_key(file)
        if os.name == "posix" and file.stat().st_mode & 0o077:
            message = f"Others than its owner may read the key {file}."
            raise KerasDrError(message, f"Correct its permissions with: chmod 600 {file}")
        text = file.read_text("ascii").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it does not hold hexadecimal digits"
        message = f"The key {file} cannot be read or made: {reason}."
        raise KerasDrError(message, "Choose another file with --key.") from error
    if len(key) != _KEY_BYTES:
        message = f"The file {file} is not a key: it holds {len(key)} bytes, not {_KEY_BYTES}."
        raise KerasDrError(message, "Choose another file with --key; a file that does not exist yet is made.")
    return key


def _make_key(file: Path) -> None:
    """Write a new key; if another process makes one at the same time, the first one stays."""
    import secrets  # only a new key needs it, and devices start without it

    inside = next((place for place in resolved(file).parents if _is_result(place)), None)
    if inside:
        message = f"The key {file} would lie in a result, {inside}, and would be copied with it."
        raise KerasDrError(message, "Choose another file with --key.")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")  # also another thread may make one
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def _is_result(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*MANIFESTS.values(), "sw.js"))
