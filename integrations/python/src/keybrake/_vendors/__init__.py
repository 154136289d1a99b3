"""One file a vendor: its SDK on the proxy. Imported only when a client of it is made."""
