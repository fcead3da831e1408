/*
 * src/store/byte_letters.h
 *
 * The ByteLevel alphabet of tokenizer.json: 256 characters, each of which stands for a byte.
 */
#ifndef GPT_BYTE_LETTERS_H
#define GPT_BYTE_LETTERS_H

/*
 * The code point that stands for a byte in the ByteLevel alphabet, and back; -1 if there is none.
 */
extern int gpt_byte_to_letter(int byte);
extern int gpt_letter_to_byte(int letter);

#endif /* GPT_BYTE_LETTERS_H */
