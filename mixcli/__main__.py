"""python -m mixcli"""

from mixcli.cli.main import main

main(prog_name="mixcli")
