/* Decodes a JPEG to RGB at 1, 1/2, 1/4 or 1/8 of its size, with the pixels that OpenCV and simplejpeg give in Python.
 *
 * WebAssembly has no setjmp, with which libjpeg's callers leave after an error. So an error calls the imported function
 * `fail`, which throws a JavaScript exception. The caller then drops this instance of the module with its memory.
 * A warning does not stop the decoder: its text is kept, and the caller decides what it means, as keras_dr/core/jpeg.py
 * does in Python.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "jerror.h"
#include "jpeglib.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* Throws. The text of the error is at `message`; `out_of_memory` is 1 if memory is lacking. */
__attribute__((import_module("env"), import_name("fail"))) _Noreturn void fail(int out_of_memory);

static char text[JMSG_LENGTH_MAX];
static int image_width, image_height;

EXPORT("message") const char *message(void) { return text; }
EXPORT("width") int width(void) { return image_width; }
EXPORT("height") int height(void) { return image_height; }
EXPORT("alloc") void *alloc(size_t bytes) { return malloc(bytes); }

static void on_error(j_common_ptr info) {
  info->err->format_message(info, text);
  fail(info->err->msg_code == JERR_OUT_OF_MEMORY);
}

/* Keeps the text of the first warning; messages of other levels are traces. */
static void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  if (info->err->num_warnings == 0) info->err->format_message(info, text);
  info->err->num_warnings++;
}

/* One row of CMYK, as cameras and Photoshop store it (inverted), to RGB: OpenCV's icvCvt_CMYK2RGB_8u_C4C3R. */
static void cmyk_to_rgb(const unsigned char *from, unsigned char *to, int pixels) {
  for (int x = 0; x < pixels; x++) {
    int black = from[4 * x + 3];
    for (int colour = 0; colour < 3; colour++) {
      int ink = from[4 * x + colour];
      to[3 * x + colour] = (unsigned char)(black - (((255 - ink) * black) >> 8));
    }
  }
}

/* Returns width * height * 3 bytes of RGB, not rotated; `message` is the first warning, or empty. */
EXPORT("decode") unsigned char *decode(const unsigned char *data, size_t bytes, int reduction) {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  errors.error_exit = on_error;
  errors.emit_message = on_message;
  text[0] = 0;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, data, bytes);
  jpeg_read_header(&info, TRUE);
  info.scale_num = 1;
  info.scale_denom = reduction;
  int has_four_inks = info.num_components == 4;
  info.out_color_space = has_four_inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  image_width = (int)info.output_width;
  image_height = (int)info.output_height;
  size_t row_bytes = (size_t)image_width * 3;
  unsigned char *pixels = malloc(row_bytes * image_height);
  unsigned char *inks = has_four_inks ? malloc((size_t)image_width * 4) : NULL;
  if (!pixels || (has_four_inks && !inks)) fail(1);
  while (info.output_scanline < info.output_height) {
    unsigned char *row = pixels + (size_t)info.output_scanline * row_bytes;
    unsigned char *target = has_four_inks ? inks : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (has_four_inks) cmyk_to_rgb(inks, row, image_width);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  free(inks);
  return pixels;
}
