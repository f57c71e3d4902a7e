"""Set before any test file is imported, and so before TensorFlow is.

Without it TensorFlow brings Keras 3, which Transform and the Evaluator cannot use, and prints a page on start.
"""

import os

import hypothesis

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples in every run, and no limit on the time of one: the machine may be busy.
hypothesis.settings.register_profile("nextclick", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("nextclick")
