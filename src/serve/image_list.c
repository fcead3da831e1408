/*
 * src/serve/image_list.c
 *
 * What the directory of images holds: complete files, and leftovers.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "serve/image_file.h"

List *
gpt_image_files(void)
{
	List *entries = gpt_image_directory_read();
	List *files = NIL;
	ListCell *cell;

	foreach (cell, entries)
	{
		const GptImageEntry *entry = lfirst(cell);
		GptImageFile *file = palloc(sizeof(GptImageFile));

		CHECK_FOR_INTERRUPTS();
		if (!entry->aside && gpt_image_file_describe(file, entry->path))
			files = lappend(files, file);
	}
	return files;
}

List *
gpt_image_leftovers(void)
{
	List *entries = gpt_image_directory_read();
	List *paths = NIL;
	ListCell *cell;

	foreach (cell, entries)
	{
		GptImageEntry *entry = lfirst(cell);
		GptImageFile file;

		CHECK_FOR_INTERRUPTS();
		if (entry->aside ? gpt_image_is_left_behind(entry->path, false)
						 : !gpt_image_file_describe(&file, entry->path))
			paths = lappend(paths, entry->path);
	}
	return paths;
}
