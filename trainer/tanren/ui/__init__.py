"""The tab in the WebUI and the standalone app; nothing here imports torch."""
