"""From a finished run to a BioImage Model Zoo package that opens elsewhere."""
