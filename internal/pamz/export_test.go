// SPDX-License-Identifier: MIT

package pamz

// For tests outside of this package, which apply deltas and hold them against rules.
const (
	Magic               = magic
	HashSHA256          = hashSHA256
	PoolChain           = poolChain
	PoolSlice           = poolSlice
	PoolZlibCompression = poolZlibCompression
	PoolZstdCompression = poolZstdCompression
)
