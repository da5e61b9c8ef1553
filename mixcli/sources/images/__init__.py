"""Sources of labelled pictures, one file a layout."""
