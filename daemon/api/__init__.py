"""The HTTP surface: thin routes over daemon.admin, served inside the daemon's loop."""
