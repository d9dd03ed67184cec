"""What does the kubelet request of the driver, and what does a pod get?"""
