"""DKIM (RFC 6376): signs mails of one machine with the domain's own key. Mail providers sign by themselves."""

import os
from dataclasses import dataclass
from pathlib import Path

from sluice.adapters.whole_files import draft_of, sync_folder

BITS = 2048  # what receivers recommend; a DNS record of 4096 is too long for many
SIGNED = (b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type", b"Auto-Submitted")
ABSENT = (b"From", b"Subject", b"Cc", b"Reply-To")  # named once more than they are there, so that none can be added


def key_file(data_dir: Path, selector: str) -> Path:
    return data_dir / "keys" / f"dkim-{selector}.pem"


@dataclass(frozen=True)
class Signer:
    selector: str
    file: Path

    def header(self, raw: bytes, domain: str) -> bytes:
        """The header that goes before `raw`, the message on the wire. Errors: OSError, ValueError (the key)."""
        import dkim

        names = [*SIGNED, *ABSENT]
        try:
            signed: bytes = dkim.sign(
                raw, self.selector.encode(), domain.encode(), self.file.read_bytes(),
                canonicalize=(b"relaxed", b"relaxed"), include_headers=names,
            )  # fmt: skip
        except dkim.DKIMException as exc:
            raise ValueError(f"{self.file} is no key of DKIM") from exc
        return signed


def make_key(file: Path) -> bool:
    """→ whether one was made; an existing one stays, also one that another process makes meanwhile. Errors: OSError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(65537, BITS)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = draft_of(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        os.link(draft, file)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folder(file.parent)
    return True


def public_key(file: Path) -> str:
    """As the DNS has it (`p=`). Errors: OSError, ValueError."""
    from base64 import b64encode

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    key = load_pem_private_key(file.read_bytes(), None).public_key()
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
