"""What a container needs to use a GPU, as CDI container edits: device nodes, the driver's files, hooks."""
