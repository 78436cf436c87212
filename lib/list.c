/* The functions of list.h, for who does not compile them in. */
#include <plait/list.h>

extern inline void plait_list_init(struct plait_list *l);
extern inline bool plait_list_is_linked(const struct plait_list *l);
extern inline bool plait_list_is_empty(const struct plait_list *head);
extern inline void plait_list_insert(struct plait_list *before,
				     struct plait_list *l);
extern inline void plait_list_append(struct plait_list *head,
				     struct plait_list *l);
extern inline void plait_list_remove(struct plait_list *l);
extern inline void plait_list_move(struct plait_list *to,
				   struct plait_list *from);
extern inline struct plait_list *
plait_list_first(const struct plait_list *head);
extern inline struct plait_list *plait_list_next(const struct plait_list *head,
						 const struct plait_list *l);
