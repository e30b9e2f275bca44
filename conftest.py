"""The folders of the pipelines bear the names of their packages: the packages must be there first.

Pytest would otherwise take `data_pipeline/`, say, for the package, and its modules would not be found.
"""

import data_pipeline
import model_serving
import training_pipeline

__all__ = ["data_pipeline", "model_serving", "training_pipeline"]
