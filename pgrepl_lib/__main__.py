"""`python -m pgrepl_lib`: the same as `pgrepl`."""

from .cli.main import main

main(prog_name="pgrepl")
