"""Makes the tiny checkpoints and goldens of tests/fixtures/checkpoints. See record_family_goldens.py beside this folder."""
