"""The commands of ``reflexd``, by what they are about; ``daemon.cli`` puts them together."""
