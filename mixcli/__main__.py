"""python -m mixcli"""

from mixcli.cli import main

main(prog_name="mixcli")
