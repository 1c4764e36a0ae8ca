"""Parts of `tools/release.py`: the packages as they stand, their changelogs, what refuses a release, what it builds."""
