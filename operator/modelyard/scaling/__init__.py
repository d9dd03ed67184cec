"""How many replicas a service needs: decisions over plain data, and the simulator that judges them."""
