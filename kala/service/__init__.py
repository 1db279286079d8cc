"""Life under an init system, or without one."""
