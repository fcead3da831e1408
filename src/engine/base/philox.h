/*
 * src/engine/base/philox.h
 *
 * The constants of Philox4x32-10 (Salmon et al. 2011, section 3.3 and table 2), shared by the
 * scalar and the vectorised generator.
 */
#ifndef LM_PHILOX_H
#define LM_PHILOX_H

#define PHILOX_ROUNDS 10
#define PHILOX_MULTIPLIER_0 0xD2511F53u
#define PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define PHILOX_WEYL_0 0x9E3779B9u /* golden ratio */
#define PHILOX_WEYL_1 0xBB67AE85u /* sqrt(3) - 1 */

#endif /* LM_PHILOX_H */
