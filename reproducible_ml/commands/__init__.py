"""The commands of ``reproducible-ml``, one module each; ``reproducible_ml.cli`` lists them."""
