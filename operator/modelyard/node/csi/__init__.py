"""What does the kubelet ask of the driver, and what does a pod get?"""
