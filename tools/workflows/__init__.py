"""Parts of `tools/check_workflows.py`: the rules of the house for workflows, and other people's linters."""
