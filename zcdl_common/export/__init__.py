"""From a finished run to a BioImage Model Zoo package that opens elsewhere.

`info` says what a package tells of its model, `package.build` writes and tests it, `description` holds
the words of rdf.yaml, `rules` and `weight_rules` what older readers stop at, `check` the test in a
process of its own, `guide` and `readme` what people read, `read` opens packages of others.
"""
