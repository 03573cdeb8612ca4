"""Settings of every Jupyter program in the student's environment: pip puts them there."""

c = get_config()  # noqa: F821 (given by traitlets)
# Server and kernel talk encrypted: ipykernel warns at every start of a kernel that does not.
c.KernelManager.transport_encryption = "auto"
