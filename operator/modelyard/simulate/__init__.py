"""How would other settings have done on my traffic? `modelyard simulate` replays a trace against the simulator."""
