"""How would a policy do on this traffic? A fleet of engines with continuous batching, as discrete events."""
