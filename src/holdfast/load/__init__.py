"""The customers' process: an open loop of HTTP requests, measured from their scheduled instants.

It imports light modules only and shares its interpreter with nothing: measured, one busy thread
beside it makes a latency of 0.4 ms look like 8 ms. Start it with `holdfast.customers.start`.
"""
