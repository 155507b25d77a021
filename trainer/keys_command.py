"""`python -m trainer keys`: the key pairs with which people sign approvals and transitions."""

from typing import Annotated

import typer

from trainer.options import KeysFolder, PassphraseFile, default_keys_folder

Pkcs11 = Annotated[
    str | None,
    typer.Option(
        "--pkcs11",
        metavar="URI",
        help="A key in a device (extra pkcs11): pkcs11:token=LABEL;object=NAME?module-path=LIBRARY",
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    help="The keys with which people sign approvals and transitions.",
)


@app.command("new", short_help="Make a key pair.")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is: letters, digits, - and _.")],
    *,
    folder: KeysFolder = None,
    passphrase_file: PassphraseFile = None,
    pkcs11: Pkcs11 = None,
) -> None:
    """Make a key pair, and print the line of its public half for the file of approvers.

    The private half is encrypted with a passphrase and never overwritten. Keep it where only its owner can
    read it: anyone with the file and its passphrase can approve in the owner's name. With --pkcs11 the pair is made in a
    device and never leaves it; the passphrase is the PIN.
    """
    from trainer.signing_keys import KeyFolder, approvers_line, check_name, read_passphrase

    check_name(name)
    if pkcs11:
        from trainer.pkcs11_keys import create_device_key

        typer.echo(approvers_line(name, create_device_key(name, pkcs11, passphrase_file)))
        return
    keys = KeyFolder(folder or default_keys_folder())
    public = keys.create(name, read_passphrase(name, passphrase_file, new=True))
    typer.echo(
        f"the private key is {keys.path / name}.pem; the line for the file of approvers:", err=True
    )
    typer.echo(approvers_line(name, public))


@app.command("list", short_help="The keys of this folder.")
def list_(
    *,
    folder: KeysFolder = None,
    passphrase_file: PassphraseFile = None,
    pkcs11: Pkcs11 = None,
) -> None:
    """Print the line of each public half for the file of approvers, or of one key in a device."""
    from trainer.signing_keys import KeyFolder, approvers_line, open_key

    if pkcs11:
        signer = open_key(pkcs11, passphrase_file)
        typer.echo(approvers_line(signer.name, signer.public_key))
        return
    keys = KeyFolder(folder or default_keys_folder())
    found = keys.public_keys()
    if not found:
        typer.echo(f"{keys.path} has no key; `python -m trainer keys new NAME` makes one", err=True)
    for name, key in found.items():
        typer.echo(approvers_line(name, key))
