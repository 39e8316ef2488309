"""usbrec: train an LLM to recommend in conversation with a simulated user, search for its best reply, and measure both."""

__version__ = "0.1.0"
