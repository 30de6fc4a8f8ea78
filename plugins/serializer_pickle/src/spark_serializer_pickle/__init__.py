"""The pickle format for checkpoints."""

from spark_serializer_pickle.pickle_format import PickleFormat

__all__ = ["PickleFormat"]
