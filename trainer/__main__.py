"""`python -m trainer`."""

from trainer.extras import missing_package_named

if __name__ == "__main__":
    with missing_package_named("python -m trainer"):
        from trainer.cli import PROGRAM, app

        app(prog_name=PROGRAM)
