"""What is prepared on this node, on disk and in memory: journal, ledger, spec files."""
