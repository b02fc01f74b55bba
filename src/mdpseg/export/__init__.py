"""A run's network in the form that another library loads; one target a file."""

from mdpseg.export.command import Exported, export

__all__ = ["Exported", "export"]
