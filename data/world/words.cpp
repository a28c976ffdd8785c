#include "data/world/words.hpp"

namespace world {

const WordTable& colour_words() {
  static const WordTable table = {
      {{"red"}},  {{"orange"}},          {{"yellow"}}, {{"green"}}, {{"cyan", "turquoise"}},
      {{"blue"}}, {{"purple", "violet"}}};
  return table;
}

const WordTable& kind_words() {
  static const WordTable table = {{{"circle", "disc", "disk"}, 2},
                                  {{"square", "box"}},
                                  {{"triangle"}},
                                  {{"diamond", "rhombus"}},
                                  {{"ring", "hoop"}}};
  return table;
}

const WordTable& kind_plural_words() {
  static const WordTable table = {{{"circles", "discs", "disks"}, 2},
                                  {{"squares", "boxes"}},
                                  {{"triangles"}},
                                  {{"diamonds", "rhombuses"}, 1},
                                  {{"rings", "hoops"}}};
  return table;
}

const WordTable& size_words() {
  static const WordTable table = {{{"small", "little", "tiny"}, 2}, {{"large", "big", "huge"}, 2}};
  return table;
}

const WordTable& place_words() {
  static const WordTable table = {
      {{"on the left", "on the left side"}},
      {{"on the right", "on the right side"}},
      {{"at the top", "near the top"}},
      {{"at the bottom", "near the bottom"}},
      {{"in the centre", "in the middle", "in the center"}, 2},
      {{"in the top left corner", "in the upper left corner", "at the top left"}},
      {{"in the top right corner", "in the upper right corner", "at the top right"}},
      {{"in the bottom left corner", "in the lower left corner", "at the bottom left"}},
      {{"in the bottom right corner", "in the lower right corner", "at the bottom right"}}};
  return table;
}

const WordTable& relation_words() {
  static const WordTable table = {{{"left of", "to the left of"}},
                                  {{"right of", "to the right of"}},
                                  {{"above", "over"}},
                                  {{"below", "under", "beneath"}, 2}};
  return table;
}

const WordTable& tone_words() {
  static const WordTable table = {
      {{"white"}}, {{"grey", "gray"}, 1},         {{"black"}},
      {{"cream"}}, {{"pale blue", "light blue"}}, {{"navy", "dark blue"}}};
  return table;
}

const WordTable& count_words() {
  static const WordTable table = {{{"a", "an", "one"}}, {{"two"}}, {{"three"}}};
  return table;
}

const WordTable& opening_words() {
  static const WordTable table = {{{"", "a picture of", "a drawing of", "an image of"}}};
  return table;
}

const WordTable& background_words() {
  static const WordTable table = {{{"on a", "against a", ","}}};
  return table;
}

}  // namespace world
