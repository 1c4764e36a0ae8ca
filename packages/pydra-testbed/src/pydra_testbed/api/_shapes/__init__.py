"""What objects look like: the field tables that decoding, emptying and (later) patching read."""
