"""Plugin sources that several tests install."""

GOOD = """
    from spark.hooks import BackendSpec, FormatSpec, hookimpl

    @hookimpl
    def spark_backends():
        target = "good_backend:GoodBackend"
        return [BackendSpec(name="good", target=target, schemes=("good",), class_names=("GoodBackend",))]

    @hookimpl
    def spark_formats():
        return [FormatSpec(name="goodfmt", target="good_backend:GoodFormat", safe_to_load=True)]

    @hookimpl
    def spark_checkpoint_deleted(checkpoint_id):
        pass
"""

GOOD_BACKEND = """
    from spark.graphs.checkpoint import InMemoryCheckpointBackend
    from spark.graphs.checkpoint.encoding.json_format import JsonFormat

    class GoodBackend(InMemoryCheckpointBackend):
        def __init__(self, **options):
            super().__init__()
            self.url, self.options = None, options

        @classmethod
        def from_url(cls, url, **options):
            backend = cls(**options)
            backend.url = url
            return backend

    class GoodFormat(JsonFormat):
        name = "goodfmt"
"""

FAILS_ON_IMPORT = "raise RuntimeError('no engine here')"

MISSPELT_HOOK = """
    from spark.hooks import BackendSpec, hookimpl

    @hookimpl
    def spark_backend():
        return []
"""

FUTURE_VERSION = """
    from spark.hooks import BackendSpec, hookimpl

    @hookimpl
    def spark_backends():
        return [BackendSpec(name="future", target="nowhere:Nothing", api_version=99)]
"""


LISTENS = """
from spark.hooks import hookimpl

@hookimpl
def spark_checkpoint_deleted():
    pass
"""


def claims(name: str, scheme: str = "") -> str:
    """A plugin that provides one backend, whose class is never needed."""
    schemes = f"({scheme!r},)" if scheme else "()"
    return f"""
    from spark.hooks import BackendSpec, hookimpl

    @hookimpl
    def spark_backends():
        return [BackendSpec(name={name!r}, target="nowhere:Nothing", schemes={schemes})]
    """


def returns(hook: str, value: str) -> str:
    """A plugin whose one hook returns, or raises with, this expression."""
    return f"""
    from spark.hooks import *
    from spark.hooks import hookimpl

    @hookimpl
    def {hook}():
        return {value}
    """
