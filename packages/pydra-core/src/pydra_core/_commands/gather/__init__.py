"""`gather`: everything a maintainer asks for first, in one archive, without what is nobody's business."""
