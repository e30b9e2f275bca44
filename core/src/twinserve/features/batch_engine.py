"""The name by which `feature_store.yaml` asks for the batch engine, with Feast's name for its settings."""

from twinserve.features.materialization.batch_engine import RedisBatchEngine, RedisBatchEngineConfig

__all__ = ["RedisBatchEngine", "RedisBatchEngineConfig"]
