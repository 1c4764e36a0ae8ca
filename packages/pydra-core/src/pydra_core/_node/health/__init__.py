"""What is known of the devices' health, and who is told: the kubelet, the scheduler, the claims, the operator."""
